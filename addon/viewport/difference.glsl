/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Both sides of a comparison as the screen shows them, or how far they are apart, in a window of the view's pixels.
 *
 * Both go through the same view transform and are clipped before they are compared. What is not covered counts as
 * black, as in all our figures. For overlays see show.glsl.
 */

const int CLASSIC = 0, NEURAL = 1, ABSOLUTE = 2, SIGNED = 3, FLIP = 4, MAGMA = 5, DIVERGING = 6;

vec3 coloured(float value, int row)
{
  float position = clamp(value, 0.0, 1.0) * float(textureSize(colours, 0).x - 1);
  int low = min(int(position), textureSize(colours, 0).x - 2);
  return mix(texelFetch(colours, ivec2(low, row), 0).rgb,
             texelFetch(colours, ivec2(low + 1, row), 0).rgb,
             position - float(low));
}

void main()
{
  int kind = int(uniforms.setting.x);
  int stages = int(uniforms.setting.y);
  float amplification = uniforms.setting.z;
  vec3 shown;
  if (kind == MAGMA || kind == DIVERGING) {
    shown = coloured(uv.x, kind - MAGMA);
  }
  else {
    vec2 place = floor(uniforms.window.xy + uv * uniforms.window.zw);
    ivec2 pixel = ivec2(clamp(place, vec2(0.0), vec2(textureSize(classic, 0) - 1)));
    vec3 first = displayed(texelFetch(classic, pixel, 0).rgb, stages);
    vec3 second = displayed(texelFetch(neural, pixel, 0).rgb, stages);
    vec3 apart = abs(second - first);
    shown = kind == CLASSIC  ? first :
            kind == NEURAL   ? second :
            kind == ABSOLUTE ? coloured(amplification * max(max(apart.r, apart.g), apart.b), 0) :
            kind == SIGNED   ? coloured(0.5 + 0.5 * amplification * dot(second - first, vec3(1.0 / 3.0)), 1) :
                               coloured(amplification * texelFetch(flip, pixel, 0).r, 0);
  }
  if (uniforms.setting.w > 0.5) {
    shown = pow(shown, vec3(2.2));
  }
  result = vec4(shown, 1.0);
}
