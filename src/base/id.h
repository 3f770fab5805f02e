// Numbers that name things: compared, hashed, printed, never added.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace medley {

template <typename Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(std::uint64_t number) : number_(number) {}
  constexpr std::uint64_t number() const { return number_; }
  constexpr auto operator<=>(const Id&) const = default;

 private:
  std::uint64_t number_ = 0;
};

}  // namespace medley

template <typename Tag>
struct std::hash<medley::Id<Tag>> {
  std::size_t operator()(medley::Id<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.number());
  }
};
