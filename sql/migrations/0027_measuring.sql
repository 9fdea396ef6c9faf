-- Placeholder: filled by its branch or taken away before it is submitted.
SELECT 1;
