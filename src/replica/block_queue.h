// The free blocks of a KV cache in the order they will be taken, each keeping its content until
// then.
//
// For batching with `reuse_blocks`: vLLM's free-block queue, by which an evicted sequence may find
// its own blocks again. Every operation takes constant time.
#pragma once

#include <cstdint>
#include <vector>

namespace medley::replica {

class BlockQueue {
 public:
  // A block together with the content it was given when it was taken.
  struct Block {
    std::uint32_t id = 0, version = 0;
  };

  explicit BlockQueue(std::size_t blocks);

  // The block at the front; what it contained is lost. Precondition: one is free.
  Block take();
  // To the back of the queue. Precondition: taken.
  void give_back(Block block);
  // Whether the block is free and still holds what it held when it was given back.
  bool has_content(Block block) const;
  // Takes it with its content. Precondition: has_content().
  void take_back(Block block);

 private:
  struct Node {
    std::uint32_t previous = 0, next = 0, version = 0;
    bool free = true;
  };
  void unlink(std::uint32_t id);

  std::vector<Node> nodes_;  // the last one is both ends of the list
};

}  // namespace medley::replica
