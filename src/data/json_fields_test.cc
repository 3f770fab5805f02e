#include "data/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class File {
 public:
  explicit File(std::string_view text) : path_(own_temporary("json_fields_test.json")) {
    std::ofstream(path_) << text;
  }
  ~File() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(JsonFields, NameTheLineOfWhatIsNoJson) {
  const File file("{\"a\": 1,\n  \"b\": NaN}");
  const auto value = read_json(file.path());
  ASSERT_FALSE(value.ok());
  EXPECT_THAT(value.error().message, HasSubstr("json_fields_test.json:2:8: not JSON"));
}

TEST(JsonFields, RefuseWhatComesAfterTheEnd) {
  const File file("{}\n{}");
  const auto value = read_json(file.path());
  ASSERT_FALSE(value.ok());
  EXPECT_THAT(value.error().message, EndsWith(":2:1: not JSON: more after its end"));
  const File torn("[1, 2");
  EXPECT_FALSE(read_json(torn.path()).ok());
}

TEST(JsonFields, SayWhereAndWhatWouldBeRight) {
  const boost::json::value root =
      boost::json::parse(R"({"a": {"cost": -1, "name": 3, "list": [1, 1e999, 2.5, null]}})");
  const JsonField a = JsonField(root, "f.json").member("a").value();
  EXPECT_EQ(a.member("cost")->number(0, 10).error().message,
            "f.json: a.cost: expected a number from 0 to 10, got -1");
  EXPECT_EQ(a.member("name")->text().error().message, "f.json: a.name: expected text, got 3");
  EXPECT_EQ(a.member("price").error().message, "f.json: a: missing key 'price'");
  const auto list = a.member("list")->items().value();
  EXPECT_EQ(list[0].whole(1, 5).value(), 1);
  EXPECT_FALSE(list[1].number(0, 1e300).ok());
  EXPECT_EQ(list[2].whole(0, 9).error().message,
            "f.json: a.list[2]: expected a whole number from 0 to 9, got 2.5E0");
  EXPECT_EQ(list[3].number(0, 9).error().message,
            "f.json: a.list[3]: expected a number from 0 to 9, got null");
  EXPECT_EQ(JsonField(root, "f.json").items().error().message,
            "f.json: expected an array, got an object");
}

}  // namespace
}  // namespace medley::data
