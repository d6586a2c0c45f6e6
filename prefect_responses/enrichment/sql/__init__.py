"""Tables of databases: a query as the rows of a job, and a table for its results."""
