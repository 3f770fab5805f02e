#include "serve/openai/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/prng.h"
#include "serve/openai/json_text.h"

namespace medley::serve::openai {
namespace {

using std::chrono::milliseconds;

// Clients wait at most a minute when told (api-clients.md, section 4): above that they ignore us or
// sleep as told.
constexpr milliseconds kLongestRetry{59'000};
constexpr milliseconds kShortestRetry{100};

// Up to a quarter later, by request: clients that were turned away together should not come back
// together. Within the longest.
Duration spread(Duration retry_after, RequestId request) {
  Prng prng = Prng::stream(0x7265747279, request.number());
  retry_after = std::min<Duration>(retry_after, kLongestRetry * 4 / 5);
  return retry_after + std::chrono::duration_cast<Duration>(retry_after * prng.uniform() / 4);
}

ApiError overloaded(std::string message, std::string code) {
  return {503, "service_unavailable_error", std::move(message), "", std::move(code), std::nullopt};
}

}  // namespace

ApiError of_bad_request(const Error& error) {
  ApiError api{.message = error.message, .param = error.param};
  if (error.code == ErrorCode::kNotFound) {
    api.status = 404;
  } else if (error.code == ErrorCode::kDenied) {
    api.status = 403;
    api.type = "permission_error";
  }
  return api;
}

ApiError of_rejection(const sched::Reject& rejection, const Request& request,
                      std::string_view prompt_param, std::string_view label) {
  using sched::RejectReason;
  ApiError error;
  switch (rejection.reason) {
    case RejectReason::kNoLawfulPool:
      return {
          403,
          "permission_error",
          fmt::format(
              "data with the label '{}' may not be processed in any zone that serves this model",
              label),
          "label",
          "no_lawful_pool",
          std::nullopt};
    case RejectReason::kTooLong:
      return {400,
              "invalid_request_error",
              fmt::format("the prompt of {} tokens is longer than the context of every pool that "
                          "serves this model",
                          request.prompt_tokens.count()),
              std::string(prompt_param),
              "context_length_exceeded",
              std::nullopt};
    case RejectReason::kNoReplica:
      error = overloaded("every replica that may serve this request is down", "no_replica");
      break;
    case RejectReason::kSaturated:
    case RejectReason::kTimedOut:
      // A promise that cannot be kept now is a limit of this class; the rest is a fleet that is
      // full.
      if (request.service_class == ServiceClass::kGuaranteed) {
        error = {429,
                 "rate_limit_error",
                 "the targets of the class 'guaranteed' cannot be kept right now, so the request "
                 "was not taken",
                 "",
                 "slow_down",
                 std::nullopt};
      } else if (rejection.reason == RejectReason::kSaturated) {
        error = overloaded(
            fmt::format("the fleet is full: the targets of the class '{}' cannot be kept right now",
                        name_of(request.service_class)),
            "server_is_overloaded");
      } else {
        error = overloaded("no replica became free while the targets could still be kept",
                           "server_is_overloaded");
      }
      break;
  }
  error.retry_after =
      spread(std::max<Duration>(rejection.retry_after, kShortestRetry), rejection.request);
  return error;
}

ApiError of_failure(const Error& error) {
  const auto server_error = [&error](int status, std::string type, std::string code) {
    return ApiError{status,      std::move(type), error.message,
                    error.param, std::move(code), std::nullopt};
  };
  switch (error.code) {
    case ErrorCode::kInvalid:
      return server_error(400, "invalid_request_error", "");
    case ErrorCode::kNotFound:
      return server_error(404, "invalid_request_error", "");
    case ErrorCode::kDenied:
      return server_error(502, "api_error", "upstream_denied");
    case ErrorCode::kUnavailable: {
      ApiError api = server_error(503, "service_unavailable_error", "upstream_unavailable");
      api.retry_after = std::chrono::seconds(1);
      return api;
    }
    case ErrorCode::kTimedOut:
      return server_error(504, "timeout_error", "upstream_timeout");
    case ErrorCode::kGarbled:
      return server_error(502, "api_error", "upstream_garbled");
    case ErrorCode::kInternal:
      break;
  }
  return server_error(500, "api_error", "internal_error");
}

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, error.type);
  out += R"(,"param":)";
  append_json_string_or_null(out, error.param);
  out += R"(,"code":)";
  append_json_string_or_null(out, error.code);
  return out += "}}";
}

net::HttpResponse error_response(const ApiError& error) {
  net::HttpResponse response{
      error.status, {{"Content-Type", "application/json"}}, error_json(error)};
  if (error.retry_after) {
    const auto wait = std::clamp(std::chrono::ceil<milliseconds>(*error.retry_after),
                                 kShortestRetry, kLongestRetry);
    response.headers.add("Retry-After",
                         std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
    response.headers.add("retry-after-ms", std::to_string(wait.count()));
  }
  return response;
}

}  // namespace medley::serve::openai
