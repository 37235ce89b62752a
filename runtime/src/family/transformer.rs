//! What the pipelines with a transformer share.

use std::collections::BTreeSet;

/// What blocks are called before their number.
const BLOCKS: &str = "transformer_blocks.";

/// `patch_size` where a configuration says nothing.
pub(super) const PATCH: usize = 2;

/// The numbers of the blocks that have marks, rising. A block with several results has one mark for each.
pub(super) fn blocks(marks: &mut dyn Iterator<Item = &str>) -> BTreeSet<usize> {
    marks.filter_map(|path| path.strip_prefix(BLOCKS)?.split(':').next()?.parse().ok()).collect()
}

/// The path of a block.
pub(super) fn block(number: usize) -> String {
    format!("{BLOCKS}{number}")
}

/// The block in the middle, of an even number the last of the first half: what has no bottleneck is cut there.
pub(super) fn middle(marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
    let blocks = blocks(marks);
    blocks.iter().nth(blocks.len().saturating_sub(1) / 2).copied().map(block)
}
