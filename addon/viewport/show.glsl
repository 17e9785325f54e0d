/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows a marched picture: scene-linear light through the view transform's table, over what is already there.
 *
 * The table's values are display-referred. The viewport's overlay buffer is sRGB-encoded: what a shader writes is taken
 * for linear and encoded by the GPU, so that the table's values are decoded first to arrive unchanged on the screen.
 */

vec3 srgb_to_linear(vec3 colour)
{
  vec3 low = colour / 12.92;
  vec3 high = pow((max(colour, 0.04045) + 0.055) / 1.055, vec3(2.4));
  return mix(high, low, lessThanEqual(colour, vec3(0.04045)));
}

void main()
{
  vec4 light = textureLod(picture, uv, 0.0);
  if (light.a < 1e-5) {
    discard;
  }
  /* the logarithmic shaper of core/colour.py */
  vec3 scaled = max(light.rgb / light.a, 0.0) * uniforms.shaper.x + 1.0;
  vec3 position = clamp(log2(scaled) * uniforms.shaper.y, 0.0, 1.0);
  float nodes = float(textureSize(table, 0).x);
  vec3 shown = textureLod(table, (position * (nodes - 1.0) + 0.5) / nodes, 0.0).rgb;
  shown = clamp(shown, 0.0, 1.0);
  if (uniforms.shaper.z > 0.5) {
    shown = srgb_to_linear(shown);
  }
  result = vec4(shown, 1.0) * light.a;
}
