#include "plan/interview.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

// The least that has no default: the catalogue's prices are in dollars.
const Answers kLeast = {{"per_usd", "0.9"}};

Answers with(Answers answers) {
  answers.insert(kLeast.begin(), kLeast.end());
  return answers;
}

TEST(PlanInterview, NextToNoAnswersMakeAFileThatSaysWhereItsFiguresComeFrom) {
  const auto text = requirements_text(kLeast, test_catalog(), ".");
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_NE(text->find("pue 1.54: world average of 2025"), std::string::npos) << *text;
  const auto read = data::parse_requirements(*text, "plan.yaml", test_catalog());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->demands[0].rate_per_s[12], 1);
  EXPECT_EQ(read->demands[0].rate_per_s[2], 0.1);
  EXPECT_EQ(read->devices.size(), 1u);
}

TEST(PlanInterview, AnAnswerTakesThePlaceOfTheDefaultAndOfItsSource) {
  const auto text =
      requirements_text(with({{"pue", "1.2"}, {"tokens_per_s", "500"}}), test_catalog(), ".");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->find("1.54"), std::string::npos);
  EXPECT_NE(text->find("tpot_s: 0.002"), std::string::npos);
}

TEST(PlanInterview, ADeviceWithoutAKnownPriceIsAskedFor) {
  const auto asked = questions({{"devices", "groq_lpu_v1"}}, test_catalog());
  const auto price = std::find_if(asked.begin(), asked.end(), [](const Question& question) {
    return question.key == "price_groq_lpu_v1";
  });
  ASSERT_NE(price, asked.end());
  EXPECT_TRUE(price->fallback.empty());
  const auto text = requirements_text({{"devices", "groq_lpu_v1"}}, test_catalog(), ".");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message,
            "price_groq_lpu_v1: needs an answer (no default: the catalogue knows none)");
  EXPECT_TRUE(requirements_text({{"devices", "groq_lpu_v1"}, {"price_groq_lpu_v1", "[2000, 6000]"}},
                                test_catalog(), ".")
                  .ok());
}

TEST(PlanInterview, ACurrencyIsThreeCapitals) {
  const auto text = requirements_text(with({{"currency", "euros"}}), test_catalog(), ".");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message,
            "currency: expected the three capitals of a currency, as EUR or USD, got 'euros'");
}

TEST(PlanInterview, ATraceTakesThePlaceOfRatesAndLengths) {
  const std::string folder = data::own_temporary("interview");
  std::filesystem::create_directories(folder);
  {
    std::ofstream out(folder + "/t.csv");
    out << "arrived_s,prompt_tokens,output_tokens\n0,10,5\n1,10,5\n2,10,5\n";
  }
  const auto text = requirements_text(with({{"trace", "t.csv"}}), test_catalog(), folder);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text->find("prompt_tokens"), std::string::npos);
}

TEST(PlanInterview, AnswersToNoQuestionAndWrongOnesAreErrors) {
  const auto unknown = requirements_text({{"puee", "1.2"}}, test_catalog(), ".");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("no question 'puee', did you mean 'pue'?"),
            std::string::npos)
      << unknown.error().message;
  const std::vector<std::array<std::string, 3>> cases = {
      {"pue", "0.5", "pue: expected a number of at least 1 and at most 10, got '0.5'"},
      {"power_limit_kw", "60 kW", "power_limit_kw: expected a number above 0"},
      {"tokens_per_s", "0", "tokens_per_s: expected a number above 0"},
      {"class", "standart",
       "class: expected one of guaranteed, standard, flex, batch, got 'standart', did you mean"},
      {"model", "llama-9", "model: "},
      {"per_node", "2.5", "per_node: expected a whole number"},
      {"price_h100_sxm", "[5, 2]", "price_h100_sxm: expected a price as 30000, or the range"},
      {"price_h100_sxm", "cheap", "price_h100_sxm: expected a price as 30000, or the range"},
      {"devices", ",", "devices: expected at least one device"},
      {"trace", "nowhere.csv", "trace: "}};
  for (const auto& [key, answer, message] : cases) {
    const auto text = requirements_text(with({{key, answer}}), test_catalog(), ".");
    ASSERT_FALSE(text.ok()) << key;
    EXPECT_EQ(text.error().message.find(message), 0u) << text.error().message;
    EXPECT_EQ(text.error().param, key);
  }
}

TEST(PlanInterview, NoAnswerBreaksTheFile) {
  for (const std::string name : {"a: b", "a #1", "\"quoted\"", "'", "{", "- x", "yes\nno", "\\"}) {
    const auto text = requirements_text(
        with({{"name", name}, {"zone", name}, {"tariff_per_kwh", "1"}}), test_catalog(), ".");
    ASSERT_TRUE(text.ok()) << name << ": " << text.error().message;
    const auto read = data::parse_requirements(*text, "plan.yaml", test_catalog());
    ASSERT_TRUE(read.ok()) << name;
    EXPECT_EQ(read->name, name);
    EXPECT_EQ(read->frame.site.zone, name);
  }
}

TEST(PlanInterview, DollarsOfTheCatalogueAreNoOtherMoney) {
  const auto none = requirements_text({}, test_catalog(), ".");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message, "per_usd: needs an answer (no default: rates change)");
  const auto priced = requirements_text({{"price_h100_sxm", "28000"}}, test_catalog(), ".");
  EXPECT_TRUE(priced.ok()) << "no price is the catalogue's, so no rate is needed";
  const auto read = data::parse_requirements(*requirements_text(kLeast, test_catalog(), "."),
                                             "plan.yaml", test_catalog());
  ASSERT_TRUE(read.ok());
  EXPECT_DOUBLE_EQ(read->devices[0].price.low,
                   test_catalog().accelerator("h100_sxm")->price_usd->low * 0.9);
  const auto dollars = requirements_text({{"currency", "USD"}}, test_catalog(), ".");
  ASSERT_FALSE(dollars.ok());
  EXPECT_EQ(dollars.error().message,
            "tariff_per_kwh: needs an answer (no default: the one known is in EUR)");
}

}  // namespace
}  // namespace medley::plan
