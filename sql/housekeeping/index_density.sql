-- How full the leaf pages of an index are, in percent; by the extension pgstattuple, wherever it is.
SELECT avg_leaf_density FROM {pgstattuple}.pgstatindex({index})
