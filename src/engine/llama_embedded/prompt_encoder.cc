#include "engine/llama_embedded/prompt_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/llama_embedded/libllama.h"

namespace medley::engine::llama_embedded {
namespace {

// Around the number of a message, in place of its content. No template contains these characters;
// the tabs tell whether the template strips white space from contents.
constexpr char kOpen = '\x02', kClose = '\x03', kProbe = '\t';
constexpr std::string_view kSpace = " \t\n\r\f\v";

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                    "tool"};

std::string_view stripped(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool append_tokens(const llama_vocab* vocab, std::string_view text,
                   std::vector<llama_token>& tokens) {
  if (text.empty())
    return true;
  const std::size_t before = tokens.size();
  tokens.resize(before + text.size() + 2);
  const auto length = static_cast<std::int32_t>(text.size());
  const auto try_once = [&] {
    return llama_tokenize(vocab, text.data(), length, tokens.data() + before,
                          static_cast<std::int32_t>(tokens.size() - before), /*add_special=*/false,
                          /*parse_special=*/false);
  };
  std::int32_t count = try_once();
  if (count < 0 && count != INT32_MIN) {
    tokens.resize(before + static_cast<std::size_t>(-count));
    count = try_once();
  }
  tokens.resize(before + static_cast<std::size_t>(std::max(count, 0)));
  return count >= 0;
}

}  // namespace

// Tokens so far, and the plain text that is not tokenised yet because it may go on.
class PromptEncoder::Assembly {
 public:
  explicit Assembly(const PromptEncoder& encoder) : encoder_(encoder) {}

  void add_content(std::string_view text) { plain_ += text; }

  void add_markup(std::string_view text) {
    while (!text.empty()) {
      if (const Special* special = encoder_.special_at(text)) {
        if (special->strips_before)
          plain_.erase(plain_.find_last_not_of(kSpace) + 1);
        flush();
        tokens_.push_back(special->token);
        strip_next_ = special->strips_after;
        text.remove_prefix(special->text.size());
      } else {
        plain_ += text.front();
        text.remove_prefix(1);
      }
    }
  }

  Result<std::vector<llama_token>> finish() && {
    flush();
    if (!ok_)
      return Error{ErrorCode::kInvalid, "the prompt cannot be tokenised"};
    const llama_token bos = llama_vocab_bos(encoder_.vocab_);
    if (llama_vocab_get_add_bos(encoder_.vocab_) && bos != LLAMA_TOKEN_NULL &&
        (tokens_.empty() || tokens_.front() != bos)) {
      tokens_.insert(tokens_.begin(), bos);
    }
    return std::move(tokens_);
  }

 private:
  void flush() {
    std::string_view plain = plain_;
    if (strip_next_)
      plain.remove_prefix(std::min(plain.find_first_not_of(kSpace), plain.size()));
    strip_next_ = false;
    ok_ = append_tokens(encoder_.vocab_, plain, tokens_) && ok_;
    plain_.clear();
  }

  const PromptEncoder& encoder_;
  std::vector<llama_token> tokens_;
  std::string plain_;
  bool strip_next_ = false, ok_ = true;
};

PromptEncoder::PromptEncoder(const llama_model& model, std::string path)
    : vocab_(llama_model_get_vocab(&model)), path_(std::move(path)) {
  const std::int32_t count = llama_vocab_n_tokens(vocab_);
  for (llama_token token = 0; token < count; ++token) {
    longest_token_ = std::max(longest_token_, token_text(*vocab_, token).size());
    const int attributes = llama_vocab_get_attr(vocab_, token);
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED |
                       LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) {
      continue;
    }
    const char* text = llama_vocab_get_text(vocab_, token);
    if (text == nullptr || *text == '\0')
      continue;
    specials_.push_back({text, token, (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0,
                         (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
    starts_special_[static_cast<unsigned char>(*text)] = true;
  }
  std::stable_sort(specials_.begin(), specials_.end(), [](const Special& a, const Special& b) {
    return a.text.size() > b.text.size();
  });

  if (const char* found = llama_model_chat_template(&model, nullptr)) {
    chat_template_ = found;
    if (!render({{"user", ""}}))
      chat_template_.reset();  // of no family that llama.cpp knows
  }
}

Result<std::vector<llama_token>> PromptEncoder::encode(const Generation& generation) const {
  if (generation.chat)
    return encode_chat(generation.messages);
  Assembly assembly(*this);
  assembly.add_content(generation.prompt);
  MEDLEY_TRY(std::vector<llama_token> tokens, std::move(assembly).finish());
  if (tokens.empty())
    return Error{ErrorCode::kInvalid, "the prompt is empty", "prompt"};
  return tokens;
}

Result<std::vector<llama_token>> PromptEncoder::encode_chat(
    const std::vector<Message>& messages) const {
  if (messages.empty())
    return Error{ErrorCode::kInvalid, "there are no messages", "messages"};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    // Templates copy the role into their markup, so an unknown one could bring control tokens with
    // it.
    if (std::find(kRoles.begin(), kRoles.end(), messages[i].role) == kRoles.end()) {
      return Error{
          ErrorCode::kInvalid,
          fmt::format("unknown role '{}'; known: {}", messages[i].role, fmt::join(kRoles, ", ")),
          fmt::format("messages[{}].role", i)};
    }
  }

  Assembly assembly(*this);
  const std::optional<std::string> rendered = render(messages);
  if (!rendered) {
    for (const Message& message : messages) {
      assembly.add_content(fmt::format("{}: {}\n", message.role, message.content));
    }
    assembly.add_content("assistant:");
    return std::move(assembly).finish();
  }

  std::string_view rest = *rendered;
  while (!rest.empty()) {
    const std::size_t open = rest.find(kOpen);
    const std::size_t close = rest.find(kClose, std::min(open, rest.size()));
    if (open == std::string_view::npos || close == std::string_view::npos)
      break;
    const bool keeps_space = open > 0 && rest[open - 1] == kProbe;
    assembly.add_markup(rest.substr(0, open - (keeps_space ? 1 : 0)));
    std::size_t number = 0;
    std::from_chars(rest.data() + open + 1, rest.data() + close, number);
    const std::string& content = messages.at(number).content;
    assembly.add_content(keeps_space ? std::string_view(content) : stripped(content));
    rest.remove_prefix(close + 1);
    if (rest.starts_with(kProbe))
      rest.remove_prefix(1);
  }
  assembly.add_markup(rest);
  return std::move(assembly).finish();
}

// The conversation with placeholders for its contents; empty when there is no usable template.
std::optional<std::string> PromptEncoder::render(const std::vector<Message>& messages) const {
  if (!chat_template_)
    return std::nullopt;
  std::vector<std::string> contents;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    contents.push_back(fmt::format("{}{}{}{}{}", kProbe, kOpen, i, kClose, kProbe));
  }
  std::vector<llama_chat_message> chat;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    // "developer" is the newer word for "system"; the templates know the older one.
    const std::string& role = messages[i].role;
    chat.push_back({role == "developer" ? "system" : role.c_str(), contents[i].c_str()});
  }
  std::string text(256 + 128 * messages.size(), '\0');
  const auto apply = [&] {
    return llama_chat_apply_template(chat_template_->c_str(), chat.data(), chat.size(),
                                     /*add_ass=*/true, text.data(),
                                     static_cast<std::int32_t>(text.size()));
  };
  std::int32_t length = apply();
  if (length > static_cast<std::int32_t>(text.size())) {
    text.resize(static_cast<std::size_t>(length));
    length = apply();
  }
  if (length < 0)
    return std::nullopt;
  text.resize(static_cast<std::size_t>(length));
  return text;
}

const PromptEncoder::Special* PromptEncoder::special_at(std::string_view text) const {
  if (!starts_special_[static_cast<unsigned char>(text.front())])
    return nullptr;
  for (const Special& special : specials_) {
    if (text.starts_with(special.text))
      return &special;
  }
  return nullptr;
}

}  // namespace medley::engine::llama_embedded
