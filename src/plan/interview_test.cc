#include "plan/interview.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

TEST(PlanInterview, NoAnswerAtAllMakesAFileThatSaysWhereItsFiguresComeFrom) {
  const auto text = requirements_text({}, test_catalog(), ".");
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
      requirements_text({{"pue", "1.2"}, {"tokens_per_s", "500"}}, test_catalog(), ".");
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
  EXPECT_NE(text.error().message.find("price of groq_lpu_v1 is unknown"), std::string::npos);
  EXPECT_TRUE(requirements_text({{"devices", "groq_lpu_v1"}, {"price_groq_lpu_v1", "[2000, 6000]"}},
                                test_catalog(), ".")
                  .ok());
}

TEST(PlanInterview, ATraceTakesThePlaceOfRatesAndLengths) {
  const std::string folder = testing::TempDir();
  {
    std::ofstream out(folder + "/t.csv");
    out << "arrived_s,prompt_tokens,output_tokens\n0,10,5\n1,10,5\n2,10,5\n";
  }
  const auto text = requirements_text({{"trace", "t.csv"}}, test_catalog(), folder);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text->find("prompt_tokens"), std::string::npos);
}

TEST(PlanInterview, AnswersToNoQuestionAndWrongOnesAreErrors) {
  const auto unknown = requirements_text({{"puee", "1.2"}}, test_catalog(), ".");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("no question 'puee', did you mean 'pue'?"),
            std::string::npos)
      << unknown.error().message;
  EXPECT_FALSE(requirements_text({{"pue", "0.5"}}, test_catalog(), ".").ok());
  EXPECT_FALSE(requirements_text({{"tokens_per_s", "0"}}, test_catalog(), ".").ok());
  EXPECT_FALSE(requirements_text({{"model", "llama-9"}}, test_catalog(), ".").ok());
}

}  // namespace
}  // namespace medley::plan
