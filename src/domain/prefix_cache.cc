#include "domain/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace medley {

std::size_t PrefixCache::matched(Chain chain) const {
  if (chain.empty() || !places_.contains(chain.front()))
    return 0;
  std::size_t there = 1, beyond = chain.size() + 1;
  while (beyond - there > 1) {
    const std::size_t middle = there + (beyond - there) / 2;
    (places_.contains(chain[middle - 1]) ? there : beyond) = middle;
  }
  return there;
}

long long PrefixCache::idle_part(Chain chain) const {
  long long size = 0;
  for (const std::uint64_t block : chain) {
    const Node& node = nodes_[places_.at(block)];
    size += node.holders == 0 ? node.size : 0;
  }
  return size;
}

void PrefixCache::hold(Chain chain) {
  for (const std::uint64_t block : chain) {
    const Place place = places_.at(block);
    if (nodes_[place].holders++ == 0)
      unlink(place);
  }
}

bool PrefixCache::add(std::uint64_t block, long long size) {
  const auto [at, is_new] = places_.try_emplace(block, 0);
  if (!is_new)
    return false;
  at->second = take_node();
  nodes_[at->second] = {.block = block, .size = size, .holders = 1, .named = true};
  return true;
}

long long PrefixCache::release(Chain chain) {
  const long long before = idle_;
  for (auto block = chain.rbegin(); block != chain.rend(); ++block) {
    const Place place = places_.at(*block);
    MEDLEY_CHECK(nodes_[place].holders > 0);
    if (--nodes_[place].holders == 0)
      push_back(place);
  }
  return idle_ - before;
}

void PrefixCache::leave(long long size) {
  if (size <= 0)
    return;
  if (const Place last = nodes_[0].previous; last != 0 && !nodes_[last].named) {
    nodes_[last].size += size;
    idle_ += size;
    return;
  }
  const Place place = take_node();
  nodes_[place] = {.size = size};
  push_back(place);
}

void PrefixCache::shrink(long long size) {
  while (idle_ > std::max(0LL, size)) {
    const Place first = nodes_[0].next;
    Node& node = nodes_[first];
    const long long too_much = idle_ - std::max(0LL, size);
    if (!node.named && node.size > too_much) {
      node.size -= too_much;
      idle_ -= too_much;
    } else {
      drop(first);
    }
  }
}

void PrefixCache::clear() { *this = PrefixCache(); }

PrefixCache::Place PrefixCache::take_node() {
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
    return static_cast<Place>(nodes_.size() - 1);
  }
  const Place place = free_nodes_.back();
  free_nodes_.pop_back();
  return place;
}

void PrefixCache::push_back(Place place) {
  Node& node = nodes_[place];
  node.previous = nodes_[0].previous;
  node.next = 0;
  nodes_[node.previous].next = place;
  nodes_[0].previous = place;
  idle_ += node.size;
}

void PrefixCache::unlink(Place place) {
  const Node& node = nodes_[place];
  nodes_[node.previous].next = node.next;
  nodes_[node.next].previous = node.previous;
  idle_ -= node.size;
}

void PrefixCache::drop(Place place) {
  unlink(place);
  if (nodes_[place].named)
    places_.erase(nodes_[place].block);
  free_nodes_.push_back(place);
}

}  // namespace medley
