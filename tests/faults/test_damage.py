"""Damaged checkpoints and full disks, in the short; every bit and every size: ``python -m tests.faults.soak``."""

from tests.faults import damage


def test_truncated_at_every_length_and_a_bit_flipped_in_every_byte_it_is_refused_and_nothing_is_changed(tmp_path):
    size, lengths, bits = damage.damage(tmp_path, bits=7)
    assert size == lengths
    assert bits >= size


def test_a_disk_that_is_full_anywhere_in_a_checkpoint_leaves_the_old_one(tmp_path):
    size, tried = damage.run_full_disk(tmp_path, sizes=37)
    assert tried == -(-size // 37)
