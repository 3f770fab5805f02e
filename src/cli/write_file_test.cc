#include "cli/write_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace medley::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf, testing::HasSubstr;

class Apart : public testing::Test {
 protected:
  Apart() : folder_(fs::path(testing::TempDir()) / "medley-apart") {
    fs::create_directories(folder_);
    EXPECT_TRUE(write_file(at("input.yaml"), "x").ok());
  }
  ~Apart() override { fs::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  static std::string error(const Status& status) {
    return status.ok() ? "" : status.error().message;
  }

 private:
  const fs::path folder_;
};

TEST_F(Apart, AFileThatIsReadIsNotReplaced) {
  EXPECT_THAT(error(check_apart({{"FILE", at("input.yaml")}},
                                {{"--write-fleet", at("../medley-apart/input.yaml")}})),
              AllOf(HasSubstr("--write-fleet would replace"), HasSubstr("input.yaml"),
                    HasSubstr("FILE's too"), HasSubstr("name another file")));
}

TEST_F(Apart, ALinkToAFileThatIsReadIsThatFile) {
  fs::create_symlink(at("input.yaml"), at("link.yaml"));
  EXPECT_FALSE(check_apart({{"FILE", at("input.yaml")}}, {{"--report", at("link.yaml")}}).ok());
}

TEST_F(Apart, TwoOutputsDoNotOverwriteEachOther) {
  EXPECT_THAT(error(check_apart({}, {{"--write-fleet", at("new")}, {"--report", at("./new")}})),
              HasSubstr("--report would overwrite"));
}

TEST_F(Apart, DifferentFilesAndDevicesAreFree) {
  EXPECT_TRUE(check_apart({{"FILE", at("input.yaml")}},
                          {{"--write-fleet", at("fleet.yaml")}, {"--report", at("r.html")}})
                  .ok());
  EXPECT_TRUE(
      check_apart({{"FILE", "/dev/null"}}, {{"--svg", "/dev/null"}, {"--out", "/dev/null"}}).ok());
}

}  // namespace
}  // namespace medley::cli
