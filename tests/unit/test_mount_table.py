from pathlib import Path

from kiwinb.sandbox.mount_table import Mount, filesystem_of, mounts


def test_file_system_of_a_place_that_is_not_there_yet(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "22 21 8:2 / /mnt rw - xfs /dev/sda2 rw\n"
        "23 22 8:3 / /mnt/my\\040stick rw shared:1 - vfat /dev/sdb1 rw\n"
    )
    assert filesystem_of(Path("/nowhere/x"), table) == "ext4"
    assert filesystem_of(Path("/mnt/my"), table) == "xfs"
    assert filesystem_of(Path("/mnt/my stick/a/b"), table) == "vfat"
    assert filesystem_of(Path("/mnt"), tmp_path / "none") is None


def test_points_and_kinds(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(b"23 22 0:3 / /mnt/\xe9\\134\\011\r rw - fuse.bindfs none rw\n")
    assert [*mounts(table)] == [Mount("/mnt/\udce9\\\t\r", "fuse.bindfs")]
    assert [*mounts(tmp_path / "none")] == []
