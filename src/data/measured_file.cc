#include "data/measured_file.h"

#include <fmt/format.h>

#include "data/yaml.h"

namespace medley::data {
namespace {

constexpr double kUs = 1e-6, kNs = 1e-9, kMs = 1e-3;
constexpr Bounds kSpan = {.max = 1e9};  // of the unit in the name

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)
      result += c;
  }
  return result + '"';
}

Result<Measured> read(const Node& node) {
  Fields fields(node);
  Measured measured;
  measured.endpoint = fields.text("endpoint");
  measured.model = fields.text("model");
  measured.command = fields.text("command");
  measured.date = fields.text("date");
  LinearConstants& k = measured.constants;
  k.step_s = fields.required_number("step_us", {.max = 1e9, .above_min = true}) * kUs;
  k.decode_s = fields.required_number("decode_us", kSpan) * kUs;
  k.chunk_s = fields.number("chunk_us", 0, kSpan) * kUs;
  k.prompt_token_s = fields.required_number("prompt_token_us", kSpan) * kUs;
  k.context_token_s = fields.number("context_token_ns", 0, kSpan) * kNs;
  k.ttft_error = fields.required_number("ttft_error", {.max = 10, .above_min = true});
  k.tpot_error = fields.required_number("tpot_error", {.max = 10, .above_min = true});
  if (const auto request_ms = fields.number("request_ms", kSpan))
    measured.request_s = *request_ms * kMs;
  measured.most_running = static_cast<int>(fields.whole("most_running", 0, {0, 1 << 24}));
  measured.limit_seen = fields.flag("limit_seen", false);
  measured.chunk_tokens = fields.whole("chunk_tokens", 0, {0, 1 << 30});
  MEDLEY_TRY_STATUS(fields.finish());
  return measured;
}

}  // namespace

Result<Measured> read_measured(const std::string& path) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return read(node);
}

Result<Measured> parse_measured(std::string_view text, std::string name) {
  MEDLEY_TRY(const Node node, parse_yaml(text, std::move(name)));
  return read(node);
}

std::string to_yaml(const Measured& measured) {
  const LinearConstants& k = measured.constants;
  return fmt::format(
      "# How fast one deployment was seen to be; a pool of a fleet file reads it by `measured: "
      "FILE`.\n"
      "# step = step_us + decode_us·decodes + context_token_ns·their context\n"
      "#        + for each prompt chunk: chunk_us + prompt_token_us·tokens + context_token_ns·what "
      "they attend to\n"
      "endpoint: {}\nmodel: {}\ncommand: {}\ndate: {}\n"
      "step_us: {:.6g}\ndecode_us: {:.6g}\nchunk_us: {:.6g}\nprompt_token_us: {:.6g}\n"
      "context_token_ns: {:.6g}\n"
      "# relative deviations, seen on a run that nothing was fitted to\n"
      "ttft_error: {:.3g}\ntpot_error: {:.3g}\n"
      "{}"
      "# answers at once; limit_seen: more were asked for\n"
      "most_running: {}\nlimit_seen: {}\nchunk_tokens: {}\n",
      quoted(measured.endpoint), quoted(measured.model), quoted(measured.command),
      quoted(measured.date), k.step_s / kUs, k.decode_s / kUs, k.chunk_s / kUs,
      k.prompt_token_s / kUs, k.context_token_s / kNs, k.ttft_error, k.tpot_error,
      measured.request_s ? fmt::format("# network, gateway and client, beside the steps\n"
                                       "request_ms: {:.4g}\n",
                                       *measured.request_s / kMs)
                         : std::string(),
      measured.most_running, measured.limit_seen, measured.chunk_tokens);
}

}  // namespace medley::data
