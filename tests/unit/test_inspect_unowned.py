from inspect_trees import Deb, Item, MemoryTree, database

from kiwinb.inspect.unowned import unowned


def test_what_no_package_has_and_what_made_it() -> None:
    tree = MemoryTree(
        {
            "/usr/bin/app": b"",
            "/usr/bin/editor": "/etc/alternatives/editor",
            "/etc/alternatives/editor": "/usr/bin/app",
            "/usr/lib/python3/x/__pycache__/x.pyc": b"",
            "/etc/ld.so.cache": b"",
            "/etc/passwd": b"root:x:0:0::/:\n",
            "/etc/app/made.conf": b"",
            "/etc/app.conf": b"",
            "/etc/systemd/system/sshd.service": "/usr/lib/systemd/system/ssh.service",
            "/etc/systemd/system/mine.service": b"[Unit]\n",
            "/opt/mine/tool": Item(b"x", uid=0),
            **database(
                Deb("app", files=["/usr/bin/app"], postinst="cp a /etc/app/made.conf; b /etc/app\n")
            ),
        }
    )
    table = unowned(tree).set_index("path")
    assert "/usr/bin/app" not in table.index
    reasons = table["reason"]
    assert reasons["/usr/bin/editor"] == "link by alternatives"
    assert reasons["/etc/alternatives/editor"] == "link by alternatives"
    assert reasons["/usr/lib/python3/x/__pycache__/x.pyc"] == "compiled Python"
    assert reasons["/etc/ld.so.cache"] == "made by ldconfig"
    assert reasons["/var/lib/dpkg/status"] == "database of dpkg"
    assert reasons["/etc/passwd"] == "users and groups"
    assert reasons["/etc/app/made.conf"] == "named in the postinst script of app"
    assert reasons["/etc/systemd/system/sshd.service"] == "service aliases and masks"
    assert reasons["/usr"] == "holds files of packages"
    unexplained = {"/etc/app.conf", "/etc/systemd/system/mine.service", "/opt/mine/tool"}
    assert unexplained <= set(reasons[reasons.eq("")].index)
