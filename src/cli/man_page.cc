#include "cli/man_page.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

namespace medley::cli {
namespace {

// Roff reads a leading dot or quote as a command, '-' as a hyphen and '\' as an escape.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

void print_options(const CLI::App& app, std::FILE* out) {
  for (const CLI::Option* option : app.get_options()) {
    std::string name = option->get_name(option->get_positional(), true);
    const std::string type = option->get_type_name();
    if (!type.empty() && !option->get_positional())
      name += " " + type;
    std::string text = option->get_description();
    if (!option->get_default_str().empty())
      text += " (default: " + option->get_default_str() + ")";
    fmt::print(out, ".TP\n.B {}\n{}\n", roff(name), roff(text));
  }
}

void print_verb(const CLI::App& verb, const std::string& path, std::FILE* out) {
  const std::string name = path + " " + verb.get_name();
  fmt::print(out, ".SS {}\n{}.\n", roff(name), roff(verb.get_description()));
  print_options(verb, out);
  for (const CLI::App* sub : verb.get_subcommands([](const CLI::App*) { return true; }))
    print_verb(*sub, name, out);
}

}  // namespace

int print_man_page(const CLI::App& app, std::FILE* out) {
  fmt::print(out, ".TH MEDLEY 1\n.SH NAME\nmedley \\- {}\n", roff(app.get_description()));
  fmt::print(out, ".SH SYNOPSIS\n.B medley\n.I verb\n[options]\n.SH OPTIONS\n");
  print_options(app, out);
  fmt::print(out, ".SH VERBS\n");
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    print_verb(*verb, "medley", out);
  fmt::print(out, ".SH EXIT STATUS AND STREAMS\n{}\n", roff(app.get_footer()));
  return 0;
}

}  // namespace medley::cli
