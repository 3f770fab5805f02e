#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>  // violation: third-party
