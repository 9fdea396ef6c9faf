-- The two rule sets once more, as somebody would write them down who does without ours.
CREATE SCHEMA alternative;
CREATE TABLE alternative.template_line (
    rule_set     text     NOT NULL,
    source_type  text     NOT NULL,
    entry        smallint NOT NULL,
    line_number  smallint NOT NULL,
    side         text     NOT NULL,
    account_code text     NOT NULL,
    fund         text     NOT NULL,
    component    text     NOT NULL,
    PRIMARY KEY (rule_set, source_type, entry, line_number)
);
INSERT INTO alternative.template_line VALUES
    ('combined', 'PREMIUM', 1, 1, 'DR', '1100-10', 'OPERATOR', 'gross_amount'),
    ('combined', 'PREMIUM', 1, 2, 'CR', '2320-10', 'OPERATOR', 'tabarru_amount'),
    ('combined', 'PREMIUM', 1, 3, 'CR', '2330-10', 'OPERATOR', 'tanahud_amount'),
    ('combined', 'PREMIUM', 1, 4, 'CR', '4210-10', 'OPERATOR', 'ujroh_amount'),
    ('combined', 'PREMIUM', 1, 5, 'DR', '1310-20', 'TABARRU',  'tabarru_amount'),
    ('combined', 'PREMIUM', 1, 6, 'CR', '4110-20', 'TABARRU',  'tabarru_amount'),
    ('combined', 'PREMIUM', 1, 7, 'DR', '1310-30', 'TANAHUD',  'tanahud_amount'),
    ('combined', 'PREMIUM', 1, 8, 'CR', '4110-30', 'TANAHUD',  'tanahud_amount'),
    ('combined', 'CLAIM',   1, 1, 'CR', '1100-10', 'OPERATOR', 'gross_amount'),
    ('combined', 'CLAIM',   1, 2, 'DR', '2320-10', 'OPERATOR', 'tabarru_amount'),
    ('combined', 'CLAIM',   1, 3, 'DR', '2330-10', 'OPERATOR', 'tanahud_amount'),
    ('combined', 'CLAIM',   1, 4, 'DR', '5110-10', 'OPERATOR', 'ujroh_amount'),
    ('combined', 'CLAIM',   1, 5, 'CR', '1310-20', 'TABARRU',  'tabarru_amount'),
    ('combined', 'CLAIM',   1, 6, 'DR', '5110-20', 'TABARRU',  'tabarru_amount'),
    ('combined', 'CLAIM',   1, 7, 'CR', '1310-30', 'TANAHUD',  'tanahud_amount'),
    ('combined', 'CLAIM',   1, 8, 'DR', '5110-30', 'TANAHUD',  'tanahud_amount'),
    ('three_entries', 'PREMIUM', 1, 1, 'DR', '1100-20', 'TABARRU',  'tabarru_amount'),
    ('three_entries', 'PREMIUM', 1, 2, 'CR', '4110-20', 'TABARRU',  'tabarru_amount'),
    ('three_entries', 'PREMIUM', 2, 1, 'DR', '1100-30', 'TANAHUD',  'tanahud_amount'),
    ('three_entries', 'PREMIUM', 2, 2, 'CR', '4110-30', 'TANAHUD',  'tanahud_amount'),
    ('three_entries', 'PREMIUM', 3, 1, 'DR', '1100-10', 'OPERATOR', 'ujroh_amount'),
    ('three_entries', 'PREMIUM', 3, 2, 'CR', '4210-10', 'OPERATOR', 'ujroh_amount'),
    ('three_entries', 'CLAIM',   1, 1, 'DR', '5110-20', 'TABARRU',  'tabarru_amount'),
    ('three_entries', 'CLAIM',   1, 2, 'CR', '1100-20', 'TABARRU',  'tabarru_amount'),
    ('three_entries', 'CLAIM',   2, 1, 'DR', '5110-30', 'TANAHUD',  'tanahud_amount'),
    ('three_entries', 'CLAIM',   2, 2, 'CR', '1100-30', 'TANAHUD',  'tanahud_amount'),
    ('three_entries', 'CLAIM',   3, 1, 'DR', '5110-10', 'OPERATOR', 'ujroh_amount'),
    ('three_entries', 'CLAIM',   3, 2, 'CR', '1100-10', 'OPERATOR', 'ujroh_amount');
ANALYZE alternative.template_line;
