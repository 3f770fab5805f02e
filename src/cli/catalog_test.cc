#include "cli/catalog.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>

namespace medley::cli {
namespace {

// What a command wrote, and how it ended.
struct Outcome {
  int status;
  std::string out, err;
};

Outcome run(const CatalogOptions& options) {
  char *out_text = nullptr, *err_text = nullptr;
  std::size_t out_size = 0, err_size = 0;
  std::FILE* out = open_memstream(&out_text, &out_size);
  std::FILE* err = open_memstream(&err_text, &err_size);
  const int status = run_catalog(options, out, err);
  std::fclose(out);
  std::fclose(err);
  Outcome result{status, std::string(out_text, out_size), std::string(err_text, err_size)};
  std::free(out_text);
  std::free(err_text);
  return result;
}

using Subject = CatalogOptions::Subject;

TEST(CatalogCommand, ListsAlignedColumnsAndKeepsProseApart) {
  const Outcome devices = run({.folder = "catalog"});
  EXPECT_EQ(devices.status, 0);
  EXPECT_EQ(devices.out.substr(0, 2), "id");
  EXPECT_NE(devices.out.find("\nh100_sxm "), std::string::npos);
  EXPECT_NE(devices.err.find("- is unknown"), std::string::npos);
  const Outcome models = run({.subject = Subject::kModels, .folder = "catalog"});
  EXPECT_EQ(models.status, 0);
  EXPECT_NE(models.out.find("\nllama-3.1-70b "), std::string::npos);
}

TEST(CatalogCommand, SpellsSourcesOut) {
  const Outcome lpu = run({.name = "GROQ_LPU", .folder = "catalog"});
  EXPECT_EQ(lpu.status, 0);
  EXPECT_NE(lpu.out.find("unknown\n"), std::string::npos);
  EXPECT_NE(lpu.out.find("argonne-lcf/user-guides"), std::string::npos);
  EXPECT_NE(lpu.out.find("\nnote\n"), std::string::npos);
  EXPECT_EQ(lpu.err, "");
}

TEST(CatalogCommand, PrintsOneJsonValueWithNullForUnknown) {
  namespace json = boost::json;
  const json::value all = json::parse(run({.folder = "catalog", .json = true}).out);
  EXPECT_GE(all.as_array().size(), 48u);
  const Outcome one = run({.name = "groq_lpu_v1", .folder = "catalog", .json = true});
  const json::object object = json::parse(one.out).as_object();
  EXPECT_TRUE(object.at("price_usd").is_null());
  EXPECT_EQ(object.at("kind").as_string(), "lpu");
  EXPECT_TRUE(object.at("sources").as_object().contains("ALCF"));
  EXPECT_EQ(one.err, "");
  const json::value models =
      json::parse(run({.subject = Subject::kModels, .folder = "catalog", .json = true}).out);
  EXPECT_GE(models.as_array().size(), 30u);
}

TEST(CatalogCommand, NamesTheNearestEntry) {
  const Outcome missing = run({.name = "h100_smx", .folder = "catalog"});
  EXPECT_EQ(missing.status, 4);
  EXPECT_EQ(missing.out, "");
  EXPECT_EQ(
      missing.err,
      "medley catalog: no accelerator 'h100_smx' in the catalogue, did you mean 'h100_sxm'?\n");
  const Outcome elsewhere = run({.name = "llama-3.1-70b", .folder = "catalog"});
  EXPECT_EQ(elsewhere.status, 4);
  EXPECT_NE(elsewhere.err.find("medley catalog models llama-3.1-70b"), std::string::npos);
  const Outcome unusable = run({.folder = "no/such/folder"});
  EXPECT_EQ(unusable.status, 2);
  EXPECT_EQ(unusable.err,
            "medley catalog: no/such/folder/accelerators.yaml: No such file or directory\n");
}

}  // namespace
}  // namespace medley::cli
