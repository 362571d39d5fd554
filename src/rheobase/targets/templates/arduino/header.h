/* The spiking network ${name}. */
#include "model.h"
