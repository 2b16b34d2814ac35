"""What ``shown`` makes of a table is the same in each run."""

import pandas as pd

from kiwinb.html import table
from kiwinb.notebook.tables import shown
from kiwinb.sizes import binary

TABLE = pd.DataFrame({"name": ["<b>", "two"], "size": [2048, 5], "share": [0.5, 0.25]})


def test_the_text_is_the_table() -> None:
    text = repr(shown(TABLE, size=binary, share="{:.0%}"))
    lines = [line.split() for line in text.splitlines()]
    assert lines == [
        ["name", "size", "share"],
        ["<b>", "2.0", "KiB", "50%"],
        ["two", "5", "B", "25%"],
    ]


def test_html_is_escaped_and_equal_each_time() -> None:
    one, other = (shown(TABLE, size=binary)._repr_html_() for _ in range(2))
    assert one == other
    assert "&lt;b&gt;" in one and "2.0 KiB" in one and "0x" not in repr(shown(TABLE))


def test_cells_say_what_narrow_windows_may_do_with_them() -> None:
    path = "/usr/lib/x86_64-linux-gnu"
    html = table(("Path", "Mode"), [(path, "rw"), ("/usr/bin", "rw")], less=[1])
    assert '<td class="long" style="text-align:left">/<wbr>usr/<wbr>lib/<wbr>x86_64' in html
    assert '<td style="text-align:left">/usr/bin<' in html
    assert html.count('class="less"') == 3
