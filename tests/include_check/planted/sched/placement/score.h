#pragma once
#  include   <data/catalog.h>  // violation: layer
#include "../scheduler.h"  // violation: path
#include "domain/request.h"
#include "replica/replica.h"  // violation: layer
