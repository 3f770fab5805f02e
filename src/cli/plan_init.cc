#include "cli/plan_init.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "cli/table.h"
#include "cli/write_file.h"
#include "data/yaml.h"
#include "plan/interview.h"

namespace medley::cli {
namespace {

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley plan init: {}\n", printable(error.message));
  return error.code == ErrorCode::kUnavailable ? 1 : 2;
}

Result<plan::Answers> read_answers(const std::string& path) {
  MEDLEY_TRY(const data::Node node, data::read_yaml(path));
  MEDLEY_TRY(const auto entries, node.entries());
  plan::Answers answers;
  for (const auto& [key, value] : entries) {
    if (value.is_null())
      continue;
    if (value.is_list()) {  // a range of prices, or several devices
      MEDLEY_TRY(const std::vector<std::string> items, value.texts());
      answers[key] = key == "devices" ? fmt::format("{}", fmt::join(items, ", "))
                                      : fmt::format("[{}]", fmt::join(items, ", "));
    } else {
      MEDLEY_TRY(answers[key], value.text());
    }
  }
  return answers;
}

// A line without its end; empty at the end of the input.
std::optional<std::string> line_of(std::FILE* in) {
  std::string line;
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
    if (c == '\n')
      return line;
    if (line.size() < 4096 && c != '\r')
      line += static_cast<char>(c);
  }
  return line.empty() ? std::nullopt : std::optional(line);
}

// One after the other, since an answer can change what is asked next.
plan::Answers ask(plan::Answers answers, const data::Catalog& catalog, std::FILE* in,
                  std::FILE* err) {
  for (std::size_t i = 0;; ++i) {
    const std::vector<plan::Question> asked = plan::questions(answers, catalog);
    if (i >= asked.size())
      return answers;
    const plan::Question& question = asked[i];
    if (answers.contains(question.key))
      continue;
    fmt::print(err, "\n{}\n", question.text);
    if (!question.choices.empty())
      fmt::print(err, "  One of {}.\n", fmt::join(question.choices, ", "));
    if (!question.source.empty()) {
      fmt::print(err, "  {}{}.\n", question.fallback.empty() ? "" : "Default: ", question.source);
    }
    for (bool right = false; !right;) {
      fmt::print(err, "  {}{} ", question.key,
                 question.fallback.empty() ? ":" : fmt::format(" [{}]:", question.fallback));
      std::fflush(err);
      std::optional<std::string> line = line_of(in);
      if (!line) {
        fmt::print(err, "\n");
        return answers;  // the rest by default
      }
      if (question.form == plan::Question::Form::kTrace && !line->empty())
        *line = std::filesystem::absolute(*line).string();
      const std::string& given = line->empty() ? question.fallback : *line;
      const auto wrong = plan::wrong_with(question, given, catalog, ".");
      right = !wrong;
      if (wrong)
        fmt::print(err, "  {}\n", printable(*wrong));
      else
        answers[question.key] = *line;
    }
  }
}

}  // namespace

int run_plan_init(const PlanInitOptions& options, std::FILE* in, std::FILE* err) {
  std::error_code none;
  if (!options.force && std::filesystem::is_regular_file(options.out, none)) {
    return complain({ErrorCode::kInvalid,
                     fmt::format("'{}' is there already: name another file, or give --force to "
                                 "replace it",
                                 options.out)},
                    err);
  }
  const Result<data::Catalog> catalog = data::read_catalog(
      options.catalog.empty() ? data::default_catalog_folder() : options.catalog);
  if (!catalog.ok())
    return complain(catalog.error(), err);
  const std::string folder = std::filesystem::path(options.out).parent_path().string();
  plan::Answers answers;
  if (!options.answers.empty()) {
    Result<plan::Answers> read = read_answers(options.answers);
    if (!read.ok())
      return complain(read.error(), err);
    answers = *std::move(read);
  }
  // Paths in the file start at its folder.
  if (!options.trace.empty())
    answers["trace"] = std::filesystem::absolute(options.trace).string();
  if (options.answers.empty())
    answers = ask(std::move(answers), *catalog, in, err);
  const Result<std::string> text =
      plan::requirements_text(answers, *catalog, folder.empty() ? "." : folder);
  if (!text.ok()) {
    const std::string where = options.answers.empty() ? "" : options.answers + ": ";
    return complain({text.error().code, where + text.error().message}, err);
  }
  if (const Status written = write_file(options.out, *text); !written.ok())
    return complain(written.error(), err);
  fmt::print(err, "wrote {0}; next: medley plan {0}\n", options.out);
  return 0;
}

}  // namespace medley::cli
