#pragma once
#include <llama.h>  // violation: third-party

#include "engine/llama_embedded/llama_engine.h"  // violation: factory
