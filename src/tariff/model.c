/*-------------------------------------------------------------------------
 *
 * model.c
 *	  The list of price models, by their stored number.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/model.h"

const TariffModel *const tariff_models[TARIFF_MODEL_COUNT] = {
	[TARIFF_MODEL_FLAT] = &tariff_flat,
	[TARIFF_MODEL_PER_UNIT] = &tariff_per_unit,
	[TARIFF_MODEL_GRADUATED] = &tariff_graduated,
	[TARIFF_MODEL_VOLUME] = &tariff_volume,
	[TARIFF_MODEL_PACKAGE] = &tariff_package,
	[TARIFF_MODEL_PERCENTAGE] = &tariff_percentage,
	[TARIFF_MODEL_GRADUATED_PERCENTAGE] = &tariff_graduated_percentage,
	[TARIFF_MODEL_MATRIX] = &tariff_matrix,
	[TARIFF_MODEL_BLOCKS] = &tariff_blocks,
	[TARIFF_MODEL_HASHMAP] = &tariff_hashmap
};
