-- Ordinary and partitioned tables of people: their primary keys in order, and their columns as
-- they were made. A base type has no length, so that a cast to it cuts nothing off.
SELECT n.nspname, c.relname, c.relkind = 'p', ARRAY(
    SELECT a.attname::text
    FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND i.indisprimary AND k.at <= i.indnkeyatts
    ORDER BY k.at), coalesce((
    SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
        a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        pg_catalog.format_type(a.atttypid, -1), a.attgenerated <> '', a.attidentity = 'a')
        ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
