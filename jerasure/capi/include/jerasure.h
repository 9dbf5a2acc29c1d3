/* libJerasure: everything that most programs use. */
#include "jerasure/jerasure.h"
