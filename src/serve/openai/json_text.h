// Pieces of JSON text, for what is written once a token: no document in between.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace medley::serve::openai {

// Appends `text` as a JSON string. What is not UTF-8 becomes U+FFFD: a client must be able to read
// every frame.
void append_json_string(std::string& out, std::string_view text);
void append_json_string_or_null(std::string& out, std::string_view text);  // null when empty
// The shortest text that reads back the same; null when empty or not finite.
void append_json_number(std::string& out, const std::optional<double>& number);

}  // namespace medley::serve::openai
