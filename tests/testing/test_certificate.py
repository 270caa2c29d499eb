"""The certificate is earned."""

from xpcnn.testing.certificate import certificate


def test_everything_passes_on_every_library(space):
    rows = list(certificate(space.device))
    assert [row.name for row in rows if not row.ok] == []
    assert all(row.error < 1e-7 and row.arrays >= row.settings for row in rows)
