#include "domain/model.h"

namespace medley {

Bytes weight_bytes(const Model& model, Precision precision) {
  if (model.weight_bytes)
    return *model.weight_bytes;
  return Bytes(model.parameters * bytes_per_number(precision));
}

Bytes kv_bytes_per_token(const Model& model, Precision kv_precision) {
  return Bytes(model.layers * model.kv_numbers_per_token_and_layer *
               bytes_per_number(kv_precision));
}

}  // namespace medley
