#include <gtest/gtest.h>

#include "engine/llama_embedded/llama_engine.h"
