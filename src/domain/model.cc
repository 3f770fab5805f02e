#include "domain/model.h"

#include <algorithm>

namespace medley {
namespace {

double expert_parameters(const Model& model) {
  return std::min(model.parameters,
                  double{1} * model.experts * model.expert_layers * model.expert_parameters);
}

// What the weights outside experts are stored at when the model is served at `precision`.
Precision outside_experts(const Model& model, Precision precision) {
  return precision == model.native_precision ? model.outside_experts_precision.value_or(precision)
                                             : precision;
}

}  // namespace

Bytes weight_bytes(const Model& model, Precision precision) {
  if (model.weight_bytes)
    return *model.weight_bytes;
  const double experts = expert_parameters(model);
  return Bytes(experts * bytes_per_number(precision) +
               (model.parameters - experts) * bytes_per_number(outside_experts(model, precision)));
}

Bytes expert_weight_bytes(const Model& model, Precision precision) {
  if (model.weight_bytes && model.parameters > 0)
    return *model.weight_bytes * (expert_parameters(model) / model.parameters);
  return Bytes(expert_parameters(model) * bytes_per_number(precision));
}

Bytes kv_bytes_per_token(const Model& model, Precision kv_precision) {
  return Bytes(model.layers * model.kv_numbers_per_token_and_layer *
               bytes_per_number(kv_precision));
}

}  // namespace medley
