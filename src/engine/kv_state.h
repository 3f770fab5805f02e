// What an engine has made of the tokens of a sequence, in a form that another one can go on from.
#pragma once

#include <vector>

namespace medley::engine {

// Keys and values of a sequence as F32: for each layer and position, all KV heads one after the
// other.
struct KvState {
  int layers = 0, positions = 0, row = 0;  // row: numbers of one position in one layer
  std::vector<float> keys, values;
};

}  // namespace medley::engine
