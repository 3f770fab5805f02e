#include "replica/block_queue.h"

#include "base/check.h"

namespace medley::replica {

BlockQueue::BlockQueue(std::size_t blocks) : nodes_(blocks + 1) {
  MEDLEY_CHECK(blocks < UINT32_MAX);
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  for (std::uint32_t id = 0; id < count; ++id) {
    nodes_[id].previous = (id + count - 1) % count;
    nodes_[id].next = (id + 1) % count;
  }
}

void BlockQueue::unlink(std::uint32_t id) {
  Node& node = nodes_[id];
  nodes_[node.previous].next = node.next;
  nodes_[node.next].previous = node.previous;
  node.free = false;
}

BlockQueue::Block BlockQueue::take() {
  const std::uint32_t front = nodes_.back().next;
  MEDLEY_CHECK(front + 1 < nodes_.size());
  unlink(front);
  return {front, ++nodes_[front].version};
}

void BlockQueue::give_back(Block block) {
  const auto end = static_cast<std::uint32_t>(nodes_.size() - 1);
  Node& node = nodes_[block.id];
  MEDLEY_CHECK(!node.free && node.version == block.version);
  node.previous = nodes_[end].previous;
  node.next = end;
  nodes_[node.previous].next = block.id;
  nodes_[end].previous = block.id;
  node.free = true;
}

bool BlockQueue::has_content(Block block) const {
  return nodes_[block.id].free && nodes_[block.id].version == block.version;
}

void BlockQueue::take_back(Block block) {
  MEDLEY_CHECK(has_content(block));
  unlink(block.id);
}

}  // namespace medley::replica
