// For the tests of this folder: small random models in memory.
#pragma once

#include <memory>
#include <string>

#include "base/check.h"
#include "lpu/graph.h"
#include "lpu/synth.h"

namespace medley::lpu {

struct TestModel {
  std::string bytes;
  ModelFile file;
  Graph graph;
};

inline std::unique_ptr<TestModel> test_model(const SynthShape& shape) {
  auto model = std::make_unique<TestModel>();
  auto bytes = synthesise(shape);
  MEDLEY_CHECK(bytes.ok(), bytes.ok() ? "" : bytes.error().message);
  model->bytes = std::move(bytes).value();
  auto file = ModelFile::parse(model->bytes, "test.gguf");
  MEDLEY_CHECK(file.ok(), file.ok() ? "" : file.error().message);
  model->file = std::move(file).value();
  auto graph = build_graph(model->file);
  MEDLEY_CHECK(graph.ok(), graph.ok() ? "" : graph.error().message);
  model->graph = std::move(graph).value();
  return model;
}

}  // namespace medley::lpu
