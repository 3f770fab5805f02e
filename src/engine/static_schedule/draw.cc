#include "engine/static_schedule/draw.h"

#include <algorithm>
#include <cmath>

namespace medley::engine::static_schedule {

int draw(std::span<const float> logits, double temperature, double top_p, Prng& prng,
         std::vector<std::pair<float, int>>& room) {
  const float most = *std::max_element(logits.begin(), logits.end());
  room.clear();
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    double weight =
        std::exp((static_cast<double>(logits[i]) - static_cast<double>(most)) / temperature);
    if (std::isnan(weight))  // weights of a file may be anything
      weight = 0;
    room.emplace_back(static_cast<float>(weight), static_cast<int>(i));
    sum += weight;
  }
  std::size_t kept = room.size();
  if (top_p < 1) {
    std::sort(room.begin(), room.end(), [](const auto& a, const auto& b) {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    });
    double inside = 0;
    kept = 0;
    while (kept < room.size() && (kept == 0 || inside < top_p * sum))
      inside += static_cast<double>(room[kept++].first);
    sum = inside;
  }
  double left = prng.uniform() * sum;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    left -= static_cast<double>(room[i].first);
    if (left < 0)
      return room[i].second;
  }
  return room[kept - 1].second;
}

}  // namespace medley::engine::static_schedule
