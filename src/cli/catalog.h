// `medley catalog`: what the catalogue says of accelerators and models, with its sources.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct CatalogOptions {
  enum class Subject { kAccelerators, kModels };
  Subject subject = Subject::kAccelerators;
  std::string name;    // one entry in detail; empty: the list of all
  std::string folder;  // of the catalogue; empty: data::default_catalog_folder()
  bool json = false;   // --output json
};

// Data go to `out`, prose to `err`. Exit status: 0 answered, 2 unusable catalogue, 4 no such entry.
int run_catalog(const CatalogOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
