#include "cli/decision_log_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace medley::cli {

DecisionLogFile::DecisionLogFile(std::string path, const Fleet& fleet, std::FILE* file)
    : path_(std::move(path)), fleet_(fleet), file_(file) {}

Result<std::unique_ptr<DecisionLogFile>> DecisionLogFile::open(const std::string& path,
                                                               const Fleet& fleet,
                                                               std::string_view driver) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("cannot write the decision log '{}': {}", path, std::strerror(errno)),
                 {}};
  }
  std::unique_ptr<DecisionLogFile> log(new DecisionLogFile(path, fleet, file));
  log->write(sched::log_header(fleet, driver));
  return log;
}

void DecisionLogFile::explain(const sched::Explanation& explanation) {
  write(sched::log_line(explanation, fleet_));
}

void DecisionLogFile::add(const sched::LoggedResult& result) { write(sched::log_line(result)); }

void DecisionLogFile::write(std::string line) {
  line += '\n';
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() && reason_ == 0)
    reason_ = errno;
}

Status DecisionLogFile::flush() {
  if (std::fflush(file_.get()) != 0 && reason_ == 0)
    reason_ = errno;
  if (reason_ != 0) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("the decision log '{}' is incomplete: {}", path_, std::strerror(reason_)),
        {}};
  }
  return Done{};
}

}  // namespace medley::cli
