#include "engine/llama_embedded/llama_engine.h"
#include "engine/openai_http/http_engine.h"
#include "net/http.h"
