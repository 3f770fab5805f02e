#include "engine/engine.h"

namespace medley::engine {

std::string_view name_of(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

}  // namespace medley::engine
