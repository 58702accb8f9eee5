"""Blocks of rows: each value of a channel is in one block, whatever the order in memory."""

import pytest
import torch

from torchcaffe.layer_types.channel_rows import ChannelRows, blocks


@pytest.mark.parametrize(("rows", "right"), [(0, 1), (1, 1), (1024, 1), (1025, 5), (2048, 2), (3136, 4), (1031, 1031)])
def test_blocks_are_equal_and_of_1024_rows_at_most(rows: int, right: int) -> None:
    assert blocks(rows) == right


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["caffe", "channels last"])
def test_the_columns_of_all_blocks_hold_each_value_of_a_channel_once(layout: torch.memory_format) -> None:
    x = torch.arange(2 * 3 * 40 * 50.0).view(2, 3, 40, 50).contiguous(memory_format=layout)
    it = ChannelRows(tuple(x.shape))
    rows = it.rows(x)
    assert (it.blocks, it.count, tuple(rows.shape)) == (4, 4000, (1000, 12))
    for channel in range(3):
        found = rows.view(-1, 4, 3)[..., channel].flatten().sort().values
        assert torch.equal(found, x[:, channel].flatten().sort().values)
