// The memory of a replica as far as prompts can find their beginnings in it again.
//
// What somebody holds stays. The rest stays until its room is needed, and goes in the order of its
// last use; of what was let go together, the end of a chain before its beginning, so a chain that
// is there at all is there from its front. Sizes are in the owner's unit (blocks of KV cache,
// tokens). Operations take constant time a block.
//
// Two use it: the virtual replica, for what it really has, and the core, for what it believes.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace medley {

class PrefixCache {
 public:
  using Chain = std::span<const std::uint64_t>;

  // How many blocks of the chain are there, from its front. Takes the logarithm of their number.
  std::size_t matched(Chain chain) const;
  // Size of those blocks of the chain, all there, that nobody holds.
  long long idle_part(Chain chain) const;

  // One more holds each of these, which are there.
  void hold(Chain chain);
  // A block that was not there, held by one. False: it is there already, and nothing changes.
  bool add(std::uint64_t block, long long size);
  // One less holds each of these. Answers the size of those that nobody holds now.
  long long release(Chain chain);
  // Something without a name takes room, held by nobody, until its turn comes.
  void leave(long long size);
  // Drops what was used longest ago until what nobody holds is of this size at most.
  void shrink(long long size);
  void clear();

  long long idle() const { return idle_; }  // size of all that nobody holds
  std::size_t blocks() const { return places_.size(); }

 private:
  using Place = std::uint32_t;  // in nodes_; 0 is both ends of the list

  struct Node {
    std::uint64_t block = 0;
    long long size = 0;
    int holders = 0;
    bool named = false;
    Place previous = 0, next = 0;  // while nobody holds it: the longest unused first
  };
  Place take_node();
  void push_back(Place place);
  void unlink(Place place);
  void drop(Place place);

  std::vector<Node> nodes_{1};
  std::vector<Place> free_nodes_;
  std::unordered_map<std::uint64_t, Place> places_;
  long long idle_ = 0;
};

}  // namespace medley
