"""A folder of artifacts as `rollout premerge` leaves it, with real digests."""

import hashlib
import zipfile

from guarded_rollout.core.premerge_manifest import NAME, File, Manifest, Step, all_passed, text_of

STEPS = {
    "backup-dryrun": "backup-dryrun.log",
    "deploy-dryrun": "deploy-dryrun.log",
    "migrate-dryrun": "migrate-dryrun.log",
    "rollback-dryrun": "rollback-dryrun.log",
    "smoke": "postdeploy-smoketests.log",
    "logging": "test_logging.log",
    "backup-verify": "backup-verify.log",
}
ZIPS = ("backups/dhash_staging_20260131_120000.zip", "backups/dhash_staging_20260131_130000.zip")
KINDS = {".log": "log", ".zip": "backup", ".sha256": "checksum", ".xml": "junit", ".md": "summary"}


def make_artifacts(root, commit, *, monitored=True, clean=True, **failed):
    """`failed`: (status, why) by step, with _ for -."""
    folder = root / "premerge_artifacts"
    (folder / "backups").mkdir(parents=True)
    for name in (*STEPS.values(), "junit-smoke.xml", "summary.md"):
        (folder / name).write_text(f"{name}: it was tried\n")
    if monitored:
        (folder / "monitor_logs").mkdir()
        (folder / "monitor_logs/monitor_staging.log").write_text("12:00:00 pass\n")
    for name in ZIPS:
        with zipfile.ZipFile(folder / name, "w") as packed:
            packed.writestr("database.sql", name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")
    write_manifest(folder, commit, clean=clean, **failed)
    return folder


def write_manifest(folder, commit, *, clean=True, **failed):
    """Of what lies there now."""
    steps = tuple(
        Step(
            name=name,
            command=("rollout", name),
            status=failed.get(name.replace("-", "_"), ("passed", ""))[0],
            exit=0 if name.replace("-", "_") not in failed else 1,
            seconds=1.0,
            log=log,
            why=failed.get(name.replace("-", "_"), ("passed", ""))[1],
        )
        for name, log in STEPS.items()
    )
    paths = sorted(one for one in folder.rglob("*") if one.is_file() and one.name != NAME)
    files = tuple(
        File(
            path=one.relative_to(folder).as_posix(),
            sha256=hashlib.sha256(one.read_bytes()).hexdigest(),
            bytes=one.stat().st_size,
            kind=KINDS[one.suffix],
        )
        for one in paths
    )
    kept = {"tool": "0.1.0", "platform": "linux", "environment": "staging", "clean": clean}
    manifest = Manifest(
        commit=commit,
        began=1.0,
        ended=2.0,
        steps=steps,
        files=files,
        passed=all_passed(steps),
        **kept,
    )
    (folder / NAME).write_text(text_of(manifest))
