// The decision log as a file: one JSON line each, first the header (format: sched/decision_log.h).
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "domain/fleet.h"
#include "sched/decision_log.h"

namespace medley::cli {

class DecisionLogFile final : public sched::ExplanationSink {
 public:
  // Replaces an older file. `fleet` must outlive the log.
  static Result<std::unique_ptr<DecisionLogFile>> open(const std::string& path, const Fleet& fleet,
                                                       std::string_view driver);
  void explain(const sched::Explanation& explanation) override;
  void add(const sched::LoggedResult& result);
  // Writes what is buffered; an error says which file failed and why (disk full).
  Status flush();

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  DecisionLogFile(std::string path, const Fleet& fleet, std::FILE* file);
  void write(std::string line);

  std::string path_;
  const Fleet& fleet_;
  std::unique_ptr<std::FILE, Closer> file_;
  int reason_ = 0;  // errno of the first failure
};

}  // namespace medley::cli
