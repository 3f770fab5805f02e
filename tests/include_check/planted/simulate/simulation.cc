#include <yaml-cpp/yaml.h>  // violation: third-party

#include "serve/driver.h"  // violation: layer
