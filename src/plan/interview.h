// The questions of `medley plan init`, and the requirements file that answers make.
//
// Data: a question is a key, a sentence, the form of its answer, a default and where the default
// comes from. Whoever asks (a terminal, a file of answers) hands the answers back by key.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "data/yaml.h"

namespace medley::plan {

struct Question {
  enum class Form { kText, kNumber, kWhole, kPrice, kChoice, kModel, kDevices, kTrace, kCurrency };
  std::string key, text;
  Form form = Form::kText;
  std::string fallback = {};              // the answer where none is given
  std::string source = {};                // of the default
  data::Bounds bounds = {};               // of a number
  std::vector<std::string> choices = {};  // of a choice
  bool required = false;                  // no default can be right: there must be an answer
};

using Answers = std::map<std::string, std::string>;

// In the order they are asked. What is asked depends on what was answered: a trace takes the place
// of rate and lengths, each device has a price, and a catalogue's price in dollars needs a rate.
std::vector<Question> questions(const Answers& so_far, const data::Catalog& catalog);

// What is wrong with an answer, "pue: expected a number from 1 to 10, got '15 %'"; empty: nothing.
// `folder`: where the path of a trace starts.
std::optional<std::string> wrong_with(const Question& question, const std::string& answer,
                                      const data::Catalog& catalog, const std::string& folder);

// Comments say what each line means and where a default comes from. Errors: kInvalid for an answer
// to what was not asked, of the wrong form, or missing where there is no default (`param` is the
// key), and what the reader of requirements says of the file. `folder` is where the file will
// stand: relative paths start there.
Result<std::string> requirements_text(const Answers& answers, const data::Catalog& catalog,
                                      const std::string& folder);

}  // namespace medley::plan
