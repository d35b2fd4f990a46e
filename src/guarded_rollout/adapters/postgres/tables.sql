-- Ordinary tables of people, with their columns by name: partitions count, partitioned parents
-- have no rows of their own, and an extension's tables come with the extension.
SELECT n.nspname, c.relname, ARRAY(
    SELECT a.attname::text FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attname::text COLLATE "C"), ARRAY(
    -- As what a column is hashed. Of the types left over, different values may be equal (1.0 and
    -- 1.00), or equal ones hash differently elsewhere (enums): their text is hashed.
    SELECT CASE
        WHEN a.atttypid IN ('text'::pg_catalog.regtype, 'varchar'::pg_catalog.regtype)
            THEN 'words'
        WHEN a.atttypid = 'bpchar'::pg_catalog.regtype THEN 'padded'
        WHEN a.atttypid = 'int8'::pg_catalog.regtype THEN 'int8'
        WHEN a.atttypid = 'timestamp'::pg_catalog.regtype THEN 'timestamp'
        WHEN a.atttypid = 'timestamptz'::pg_catalog.regtype THEN 'timestamptz'
        WHEN a.atttypid = ANY ('{bool,bytea,int2,int4,oid,date,uuid}'::pg_catalog.regtype[])
            THEN 'value'
        ELSE 'text' END
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attname::text COLLATE "C")
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
