-- A schema in words: one row per object, the order of columns left out. Names are all qualified,
-- because the session's search_path is empty. What belongs to an extension comes with it.
WITH spaces AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
), foreigners AS (
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
), relations AS (
    SELECT c.*, pg_catalog.quote_ident(s.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class c JOIN spaces s ON s.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND NOT EXISTS (
        SELECT FROM foreigners f
        WHERE f.objid = c.oid AND f.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
)
SELECT 'SCHEMA ' || nspname FROM spaces WHERE nspname <> 'public'
UNION ALL
SELECT 'EXTENSION ' || extname || ' ' || extversion FROM pg_catalog.pg_extension
WHERE extname <> 'plpgsql'
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.name
    || CASE WHEN c.relrowsecurity THEN ' ROW SECURITY' ELSE '' END
    || coalesce(' PARTITION BY ' || CASE c.relkind WHEN 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END, '')
    || coalesce(' ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid), '')
FROM relations c WHERE c.relkind IN ('r', 'p', 'f', 'S')
UNION ALL
SELECT 'COLUMN ' || c.name || '.' || pg_catalog.quote_ident(a.attname) || ' '
    || pg_catalog.format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(' COLLATE ' || (
        SELECT l.collname FROM pg_catalog.pg_collation l
        WHERE l.oid = a.attcollation AND l.collname <> 'default'), '')
    || CASE WHEN a.attidentity <> '' THEN ' IDENTITY ' || a.attidentity::text ELSE '' END
    || CASE WHEN a.attgenerated <> '' THEN ' GENERATED ' || a.attgenerated::text ELSE '' END
    || coalesce(' DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_catalog.pg_attribute a JOIN relations c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'CONSTRAINT ' || c.name || '.' || pg_catalog.quote_ident(k.conname) || ' '
    || pg_catalog.pg_get_constraintdef(k.oid)
FROM pg_catalog.pg_constraint k JOIN relations c ON c.oid = k.conrelid
UNION ALL
SELECT pg_catalog.pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
FROM pg_catalog.pg_index i JOIN relations c ON c.oid = i.indexrelid
UNION ALL
SELECT 'VIEW ' || c.name || ' AS ' || pg_catalog.pg_get_viewdef(c.oid)
FROM relations c WHERE c.relkind IN ('v', 'm')
UNION ALL
SELECT pg_catalog.pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
FROM pg_catalog.pg_trigger t JOIN relations c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'POLICY ' || c.name || '.' || p.polname || ' ' || p.polcmd::text || ' '
    || p.polpermissive::text
    || coalesce(' USING ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid), '')
    || coalesce(' CHECK ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM pg_catalog.pg_policy p JOIN relations c ON c.oid = p.polrelid
UNION ALL
SELECT pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p JOIN spaces s ON s.oid = p.pronamespace
WHERE p.prokind IN ('f', 'p') AND NOT EXISTS (
    SELECT FROM foreigners f
    WHERE f.objid = p.oid AND f.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
UNION ALL
SELECT 'TYPE ' || pg_catalog.format_type(t.oid, NULL) || ' ' || coalesce((
        SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
        FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
    pg_catalog.format_type(t.typbasetype, t.typtypmod), '')
FROM pg_catalog.pg_type t JOIN spaces s ON s.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd') AND NOT EXISTS (
    SELECT FROM foreigners f
    WHERE f.objid = t.oid AND f.classid = 'pg_catalog.pg_type'::pg_catalog.regclass)
