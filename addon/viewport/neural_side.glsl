/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The neural side of a comparison: the marched twin over the background of the render, scene-linear.
 *
 * The background is what the render itself shows where it has no objects. What lies behind its objects nobody has
 * rendered: there it is filled in from the nearest pixels of the background in 16 directions, by their nearness. That
 * is seen only where the render has an object and the twin has none, which is at soft edges, and where it is wrong.
 */

const int DIRECTIONS = 16;
const float GROWTH = 1.15;

vec4 background_at(ivec2 pixel)
{
  ivec2 size = textureSize(classic, 0);
  if (texelFetch(scene_depth, pixel, 0).r >= 1.0) {
    return texelFetch(classic, pixel, 0);
  }
  vec4 sum = vec4(0.0);
  float weights = 0.0;
  float farthest = float(max(size.x, size.y));
  for (int i = 0; i < DIRECTIONS; i++) {
    float angle = 6.28318531 * float(i) / float(DIRECTIONS);
    vec2 direction = vec2(cos(angle), sin(angle));
    for (float reach = 1.0; reach < farthest; reach = max(reach * GROWTH, reach + 1.0)) {
      ivec2 there = ivec2(round(vec2(pixel) + direction * reach));
      if (any(lessThan(there, ivec2(0))) || any(greaterThanEqual(there, size))) {
        break;
      }
      if (texelFetch(scene_depth, there, 0).r >= 1.0) {
        sum += texelFetch(classic, there, 0) / (reach * reach);
        weights += 1.0 / (reach * reach);
        break;
      }
    }
  }
  return weights > 0.0 ? sum / weights : vec4(0.0, 0.0, 0.0, 1.0);
}

void main()
{
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  vec2 inside = (gl_FragCoord.xy - uniforms.rectangle.xy) / uniforms.rectangle.zw;
  vec4 light = vec4(0.0);
  if (all(greaterThan(inside, vec2(0.0))) && all(lessThan(inside, vec2(1.0)))) {
    ivec2 marched = textureSize(picture, 0);
    /* a picture of all pixels is read as it is, a coarse one smoothly */
    light = marched == ivec2(uniforms.rectangle.zw) ? texelFetch(picture, ivec2(inside * vec2(marched)), 0) :
                                                      textureLod(picture, inside, 0.0);
  }
  result = light.a >= 1.0 ? light : light + (1.0 - light.a) * background_at(pixel);
}
